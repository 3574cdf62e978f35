"""The API of Segmind: its two modes, what its answers hold, and what its refusals mean."""
