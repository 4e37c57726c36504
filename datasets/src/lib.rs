//! Reads and writes the file formats that embeddings come in.
