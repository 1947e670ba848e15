"""Speed, measured against a reference in the same run; never an absolute promise."""
