"""What a scenario means, as data, and what proves it: in this process and as images in processes of their own."""
