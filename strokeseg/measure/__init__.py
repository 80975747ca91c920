"""What a mask holds: components, counts, lesions, the brain, surface area.

It imports `space` and works on arrays. Start with `lesions`.
"""
