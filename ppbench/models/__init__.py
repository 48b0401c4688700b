"""Models: layers and weights that run with numpy alone, and the recipes that train them with torch."""
