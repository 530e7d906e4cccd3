"""Sources that ship with the package: their folders, and the sides of their images in pixels."""

DEMO, COLOR = "vpt_gen/assets/demo", "vpt_gen/assets/color"
PHOTOS = "vpt_gen/assets/photos"
SIDES = {DEMO: 32, COLOR: 64, PHOTOS: 32}
