"""Sources that ship with the package: their folders, and the sides of their images in pixels."""

DEMO, PHOTOS = "vpt_gen/assets/demo", "vpt_gen/assets/photos"
SIDES = {DEMO: 32, PHOTOS: 32}
# Folder of a source that ships no more -> the last commit that has it.
GONE = {"vpt_gen/assets/color": "6ec1841"}
