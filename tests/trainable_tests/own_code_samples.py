"""Files that users could bring: models of many kinds, and losses."""

MODELS = '''
import random

import numpy
import torch
from torch import nn
from torch.nn import functional as F


class SmallCNN(nn.Module):
    """Thirty lines of a tutorial."""

    def __init__(self, num_classes, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Viewed(SmallCNN):
    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        return self.fc(F.avg_pool2d(F.relu(self.bn2(self.conv2(x))), 4).view(x.size(0), -1, 4).mean(2))


class Hidden(SmallCNN):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.scales = [torch.ones(1)]

    def forward(self, x):
        return super().forward(x * self.scales[0])


class Normed(nn.Module):
    """Layers that the fast path does not know, and randomness of every kind."""

    def __init__(self, num_classes, image_size, width=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.position = nn.Parameter(torch.zeros(1, (image_size // 8) ** 2, width))
        self.scale = nn.Parameter(torch.tensor(float(numpy.random.rand() + random.random())))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        if self.training:
            x = x + 0.01 * torch.randn_like(x) + float(numpy.random.rand()) + random.random()
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        x = x + self.scale * torch.tanh(self.dropout(self.norm(x)))
        return self.head(x.mean(1))


class Odd(nn.Module):
    """Tied, frozen, unused and lazy parameters, and buffers of every kind."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.LazyConv2d(3, 3, padding=1)
        self.same = nn.Conv2d(3, 3, 3, padding=1)
        self.same.weight = nn.Parameter(torch.randn(3, 3, 3, 3) / 5)
        self.tied = nn.Conv2d(3, 3, 3, padding=1)
        self.tied.weight = self.same.weight
        self.bn = nn.BatchNorm2d(3, momentum=None)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.unused = nn.Parameter(torch.ones(()))
        self.gaps = nn.Parameter(torch.randn(3, 6)[:, ::2])
        self.head = nn.Linear(3, num_classes)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("repeated", torch.ones(1).expand(3))
        self.cache = None
        self.calls = 0

    def forward(self, x):
        x = F.avg_pool2d(self.tied(F.relu(self.same(self.conv(x)))), 8)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 2, 3))
            self.steps += 1
            self.calls += 1
            x = x * (1 + 0.1 * self.calls)
            self.frozen.bias += 0.1
        elif self.cache is None:
            self.cache = torch.ones(3)  # made in an evaluation
        x = self.bn(x - self.mean[:, None, None]).mean((2, 3)) @ self.gaps
        return self.head(self.frozen(x if self.cache is None else x * self.cache))


def handed_on(**arguments):
    torch.rand(1)
    return SmallCNN(**arguments)


def built(num_classes, **arguments):
    inputs = 4 * (arguments["image_size"] // 8) ** 2
    return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(inputs, num_classes))
'''

LOSSES = """
import torch
from torch import nn
from torch.nn import functional as F


def plain(logits, labels):
    return F.cross_entropy(logits, labels)


class Focal(nn.Module):
    def __init__(self, gamma=2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, logits, labels):
        chosen = F.log_softmax(logits, 1).gather(1, labels[:, None])
        return -((1 - chosen.exp()) ** self.gamma * chosen).mean()


def each(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


def number(logits, labels):
    return 1.0


def detached(logits, labels):
    return logits.detach().mean()


def elsewhere(logits, labels):
    return logits.mean().to("meta")


def infinite(logits, labels):
    return logits.mean() * float("nan")


def broken(logits, labels):
    return logits[:, 99].mean()


class Trained(nn.Linear):
    def __init__(self):
        super().__init__(3, 3)
"""
