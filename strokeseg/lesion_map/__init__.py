"""Where a cohort's lesions lie, in one space: `strokeseg overlap`."""
