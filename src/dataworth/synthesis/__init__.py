"""Data sets as private releases.

* ``protocol``: what every synthesizer can do
* ``candidates``: what is bred: tables, vectors, or anything by functions of your own; ``image_candidates``: images
* ``private_evolution``: candidates that private rows vote for, round after round
* ``privimage``: a diffusion model pretrained on chosen public images and fine-tuned privately
* ``tabular``: noisy marginals of tables, fitted by the package mbi
* ``ready``: synthetic files that were made elsewhere
"""
