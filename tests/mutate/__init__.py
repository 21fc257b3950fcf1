"""Mutants: small changes of the library, each of which the tests should notice.

The changes are those of mutmut, a library for this. Its runner is not used: it needs
the tests to run in the process that forks, and TensorFlow's threads do not survive
that. cosmic-ray starts Python anew for each mutant, which costs 10 seconds with
TensorFlow, and most of its changes of operators end in an error at once. So a process
that has imported TensorFlow and done nothing with it forks a child for each mutant.
"""
