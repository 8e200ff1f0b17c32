"""Side-by-side measurements against peers: `python -m benchmarks`, or `make bench`. README.md says what is compared."""
