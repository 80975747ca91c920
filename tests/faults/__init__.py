"""What can go wrong around a batch: kills, full disks, lost permissions, jumping clocks."""
