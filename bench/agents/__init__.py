"""Agents under attack: what they still get done, and what attackers get done through them."""
