"""What generated images are worth: classifier agreement, distances, grids, the printed table."""
