"""What training draws from: label maps, lesion masks, real scans, contrasts, read once."""
