"""camlib: class activation maps, H = Σ_l w_l · M_l, with every method a class activation weight.

A name is imported when it is first used, so that a program that only writes files or runs notebooks does not pay for
PyTorch. ``__init__.pyi`` is the list of names, for readers, editors and for this file alike.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
