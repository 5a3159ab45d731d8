"""Trains, measures and exports the networks that segfuse ships. Never needed to run segfuse.

pictures ──▶ views ──▶ network ──▶ losses        (train)
pictures ──▶ network ──▶ score                   (evaluate, curve)
network ──▶ export ──▶ models/NAME               (export)
"""
