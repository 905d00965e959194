"""Pictures in exact integer arithmetic: the StyleGAN2 generator, its weight files, and PNG."""
