"""The promises under fire, measured: `make prove`, or `make prove-NAME` for one of them.

Each module proves one promise on real servers and prints what it saw beside the bound that it has
to keep. A broken bound on correctness fails the run; a bound on time, which a busy machine may
miss, fails it with `--check` only. `docs/proofs.md` has the figures that were seen.
"""
