"""Event files of TensorBoard."""

from typing import Any


class EventWriter:
    """Writes pictures for TensorBoard.

    `tf.summary.image` needs the package tensorboard, which TensorFlow 2.21 does not
    install.

    Args:
        tf: The module `tensorflow`.
        folder: Folder of the event file.
    """

    def __init__(self, tf: Any, folder: str) -> None:
        self._tf = tf
        self._writer = tf.summary.create_file_writer(folder)
        # Tells TensorBoard that these tensors of strings are pictures.
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data={"plugin_name": "images"}
        )

    def write(self, tag: str, step: int, picture: bytes, *size: int) -> None:
        """Writes a picture and flushes the file.

        Args:
            tag: Name of the picture.
            step: Its position among the pictures of that name.
            picture: Content of a PNG file.
            *size: Width and height.
        """
        lengths = [str(length).encode() for length in size]
        tensor = self._tf.constant([*lengths, picture])
        with self._writer.as_default():
            self._tf.summary.write(tag, tensor, step=step, metadata=self._metadata)
        self._writer.flush()
