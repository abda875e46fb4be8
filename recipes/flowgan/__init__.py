"""Flow-GAN: one flow trained by maximum likelihood, adversarially, and both ways, and what becomes of its inverse."""
