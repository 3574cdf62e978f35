"""The commands that begin runs: what a manifest comes to, the question before spending, trials, the demo."""
