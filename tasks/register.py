"""Binds the task names to their functions: the one place where Celery meets them."""

from __future__ import annotations

from typing import Any

from celery import Celery

from config.celery_app import FINISH_TASK, IMAGE_TASK, START_TASK
from tasks.image import restyle_image
from tasks.resources import Resources
from tasks.runs import finish, start


def register(app: Celery, resources: Resources) -> None:
    """Registers every task of restyle with this process's resources."""

    @app.task(name=IMAGE_TASK, Strategy="tasks.consumer_strategy:straight")
    def image(**kwargs: Any) -> None:
        restyle_image(resources, kwargs)

    @app.task(name=START_TASK)
    def start_run(**kwargs: Any) -> None:
        start(resources, kwargs)

    @app.task(name=FINISH_TASK)
    def finish_run(**kwargs: Any) -> None:
        finish(resources, kwargs)
