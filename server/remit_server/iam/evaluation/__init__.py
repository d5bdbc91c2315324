"""What AWS answers to one request under given policies."""
