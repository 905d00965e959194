"""Pictures in exact integer arithmetic: creatures, the StyleGAN2 generator, its weight files, and PNG."""
