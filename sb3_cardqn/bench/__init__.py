"""What ``sb3-cardqn bench`` measures, a module each."""
