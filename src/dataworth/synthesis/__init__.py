"""Data sets as private releases.

* ``protocol``: what every synthesizer can do
* ``private_evolution``: candidates that private rows vote for, round after round
* ``privimage``: a diffusion model pretrained on chosen public images and fine-tuned privately
* ``tabular``: maintained packages behind the same protocol
* ``ready``: synthetic files that were made elsewhere
"""
