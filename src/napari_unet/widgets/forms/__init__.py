"""Forms that edit one options object each, and the choosers in them."""
