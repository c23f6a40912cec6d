"""Networks of other people's libraries: torchvision's door is `autodepth.torchvision_door`."""
