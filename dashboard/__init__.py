"""The Streamlit app over the results."""
