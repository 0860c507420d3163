"""The BIDS App ``sklearn-iqt bids``: enhance the scans of a BIDS dataset."""
