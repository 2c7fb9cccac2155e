"""Models to and from other programs, as packages of the BioImage Model Zoo (bioimage.io)."""
