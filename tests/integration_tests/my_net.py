"""A user's model, small, with randomness and with layers that the fast path does not know."""

import torch
from torch import nn


class SmallCNN(nn.Module):
    def __init__(self, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.GroupNorm(4, width)
        self.block = nn.Conv2d(width, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.scale = nn.LayerNorm(2 * width)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(2 * width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.norm(self.stem(images)))
        features = features + torch.relu(self.block(features))
        features = torch.relu(self.down(features)).mean((2, 3))
        logits: torch.Tensor = self.head(self.dropout(self.scale(features)))
        return logits
