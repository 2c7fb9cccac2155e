"""What the noise of a picture is like, and whether its denoised version can be trusted."""
