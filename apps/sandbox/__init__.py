"""The sandbox: a stand-in for the API with the same contract, real image transforms, credits and faults on demand.

What it is and what it is not: README.md beside this file. It is never used unless `--sandbox` or an address says so.
"""
