"""The papers' own setting: their networks by torchvision, their data from folders that the reader has.

``make paper IMAGENET=DIR VOC=DIR`` runs ``prepare``, the notebooks with ``profile=paper``, and ``finish``. What is
missing stops nothing but what needs it, and is listed at the end.
"""
