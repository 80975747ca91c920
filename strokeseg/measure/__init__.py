"""What a mask holds: components, counts, lesions, the brain, surface area."""
