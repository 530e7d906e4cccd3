"""What nets and methods cost, on paper."""
