"""What stands under everything."""
