"""Audits of trained models: do they listen, do they denoise, have they seen what they are tested on?"""
