"""Images as files, colors and grids."""
