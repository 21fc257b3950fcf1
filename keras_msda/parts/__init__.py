"""What belongs to a batch of images, one file each: how it is checked and mixed."""
