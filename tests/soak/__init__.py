"""Random faults, loads and kills: what the steps leave behind is right, or there is nothing."""
