"""U-Nets: their configuration, their shapes and their modules. Knows no files and no viewer."""
