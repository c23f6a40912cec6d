"""What stands beside images: boxes, masks, numbers."""
