"""Trains the demonstration's detector on simulated pictures; see the README beside this file."""
