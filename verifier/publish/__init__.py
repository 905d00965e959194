"""What is published beside a bundle, in forms that others read: statements, model cards, notebooks."""
