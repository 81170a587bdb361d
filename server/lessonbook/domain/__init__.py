"""The words of the loop: vocabulary, requests and results. Everything above speaks in these types."""
