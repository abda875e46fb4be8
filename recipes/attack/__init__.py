"""The search for images within the data's own dequantization bins that a trained flow cannot reconstruct."""
