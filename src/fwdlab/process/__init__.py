"""The lab's background process: namespaces, start, end, files."""
