"""Many runs: what to run, where, and the files that they leave."""
