"""What lies on a disk: written whole or not at all, named safely, checked by its sum."""
