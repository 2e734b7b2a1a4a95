"""Lesson 13: flows trained without a solve; few steps, digits on demand, angles of molecules."""
