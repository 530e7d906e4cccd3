"""Programs under attack: killed, out of disk, with damaged files, two at once (`__main__.py`)."""
